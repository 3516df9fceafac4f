// Shows the API's description. “Authorize” takes a token, which this page forgets when it is left.

// The description as it is read here: what is tried out is asked of the server that the page comes
// from, whatever others call it; and what answers alike to every method is shown once.
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
  // No answer and no document is sent to a foreign validator.
  validatorUrl: null,
  responseInterceptor(answer) {
    // The first is the description; those to what is tried out are shown as they are.
    if (!isRead && answer.ok) answer.text = forReaders(answer.text);
    isRead = true;
    return answer;
  },
});
