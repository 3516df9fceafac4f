// A minimal client of the API, as in the front end of an application.

import assert from 'node:assert/strict';
import test from 'node:test';
import { demoServer } from './harness.mjs';

const server = demoServer();

test('a client logs in, reads its user and logs out in three requests', async () => {
  const { origin, email, password } = server;
  const device_name = 'Client test';

  const login = await fetch(`${origin}/api/tokens`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Accept': 'application/json' },
    body: JSON.stringify({ email, password, device_name }),
  });
  assert.equal(login.status, 201);
  assert.equal(login.headers.get('cache-control'), 'no-store');
  const { token, user } = await login.json();
  assert.match(token, /^bd_[A-Za-z0-9]{40}[0-9a-f]{8}$/);
  assert.equal(user.email, email);

  const me = await fetch(`${origin}/api/user`, {
    headers: { Authorization: 'Bearer ' + token, Accept: 'application/json' },
  });
  assert.equal(me.status, 200);
  const { data } = await me.json();
  assert.equal(data.email, email);
  assert.equal(data.id, user.id);

  const logout = await fetch(`${origin}/api/tokens/current`, {
    method: 'DELETE',
    headers: { Authorization: 'Bearer ' + token },
  });
  assert.equal(logout.status, 204);

  const after = await fetch(`${origin}/api/user`, { headers: { Authorization: 'Bearer ' + token } });
  assert.equal(after.status, 401);
});
