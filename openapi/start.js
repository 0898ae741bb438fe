// Shows openapi.json, with requests to try. Keys and tokens that are typed in live in this page alone: nothing is kept, and nothing
// goes to another server (the page's Content-Security-Policy forbids it, too).
window.ui = SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#manual',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});
