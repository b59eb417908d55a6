"""A small CPU renderer for the ICT parametric face: pictures with Action Unit truth."""
