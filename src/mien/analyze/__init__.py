"""The main job: photos, videos, arrays and landmark files in; tables, overlays and a report out."""
