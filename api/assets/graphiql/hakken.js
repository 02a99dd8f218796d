// Starts GraphiQL with what the page says about this server.
(() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const placeholder = "Bearer YOUR-API-KEY";

  const endpoint = new URL(settings.endpoint, location.href).href;
  const socket = new URL(settings.wsEndpoint, location.href);
  socket.protocol = socket.protocol.replace(/^http/, "ws");

  // The key that nobody has typed in yet is not sent: the schema can be read without one.
  const typed = (headers) =>
    Object.fromEntries(
      Object.entries(headers ?? {}).filter(
        ([name, value]) => !(name.toLowerCase() === "authorization" && value === placeholder),
      ),
    );

  // Over the socket the headers travel as the payload of `connection_init`.
  const fetcher = (params, options) => {
    const headers = typed(options?.headers);
    const send = GraphiQL.createFetcher({
      url: endpoint,
      subscriptionUrl: socket.href,
      wsConnectionParams: headers,
    });
    return send(params, { ...options, headers });
  };

  const root = document.getElementById("graphiql");
  ReactDOM.createRoot(root).render(
    React.createElement(GraphiQL, {
      fetcher,
      defaultQuery: settings.firstQuery,
      defaultHeaders: JSON.stringify({ Authorization: placeholder }, null, 2),
      defaultEditorToolsVisibility: "headers",
      plugins: [GraphiQLPluginExplorer.explorerPlugin()],
      visiblePlugin: "Documentation Explorer",
      shouldPersistHeaders: false,
    }),
  );
})();
