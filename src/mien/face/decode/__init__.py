"""Files, bytes and arrays to pixels, within bounds: pictures, videos, containers."""
