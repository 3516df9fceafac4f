// Shows the API's description. “Authorize” takes a token, which this page forgets when it is left.

window.SwaggerUIBundle({
  url: '/api/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // No answer and no document is sent to a foreign validator.
  validatorUrl: null,
});
