"""HTTP API, OpenAI's wire, web page and MCP tool: thin over `mien.analyze` and `mien.core.codec`."""
