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

  // A key that is typed in stays in the page: what is kept of earlier queries has no headers.
  const withoutHeaders = (text) => {
    try {
      return JSON.stringify(JSON.parse(text), (name, value) => (name === "headers" ? undefined : value));
    } catch {
      return text;
    }
  };
  const storage = {
    get length() {
      return localStorage.length;
    },
    getItem: (name) => localStorage.getItem(name),
    removeItem: (name) => localStorage.removeItem(name),
    clear: () => localStorage.clear(),
    setItem: (name, value) => {
      if (name.endsWith(":headers")) return;
      const keepsHeaders = /:(queries|favorites|tabState)$/.test(name);
      localStorage.setItem(name, keepsHeaders ? withoutHeaders(value) : value);
    },
  };

  const root = document.getElementById("graphiql");
  ReactDOM.createRoot(root).render(
    React.createElement(GraphiQL, {
      fetcher,
      storage,
      defaultQuery: settings.firstQuery,
      defaultHeaders: JSON.stringify({ Authorization: placeholder }, null, 2),
      defaultEditorToolsVisibility: "headers",
      plugins: [GraphiQLPluginExplorer.explorerPlugin()],
      visiblePlugin: "Documentation Explorer",
      shouldPersistHeaders: false,
    }),
  );
})();
