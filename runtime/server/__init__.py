"""Server of `shls serve`: a session that follows objects, a REST API, a WebSocket, and the page."""
