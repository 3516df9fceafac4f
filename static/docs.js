// Shows the description of the API. The token of “Authorize” is kept only in this page.

// Changes the description for this page: requests go to the server of this page, whatever URL the description
// has, and a route that accepts every method is shown once.
function forReaders(text) {
  const description = JSON.parse(text);
  delete description.servers;
  const { get } = description.paths['/api/verify'];
  description.paths['/api/verify'] = { get };
  return JSON.stringify(description);
}

let isRead = false;

window.SwaggerUIBundle({
  url: '/api/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // The description is never sent to a validator of another site.
  validatorUrl: null,
  responseInterceptor(answer) {
    // The first answer is the description. The others are answers to requests of the user.
    if (!isRead && answer.ok) answer.text = forReaders(answer.text);
    isRead = true;
    return answer;
  },
});
