"""Readers: one file per dataset, files on disk -> `Sample`. Pixels stay unread until a job asks for them."""

READERS: dict[str, str] = {
    "ferplus": "mien.data.ferplus:read",
    "genki4k": "mien.data.genki4k:read",
    "lfw_emotion": "mien.data.lfw_emotion:read",
    "london": "mien.data.london:read",
}
"""Dataset name -> ``module:function``; each function takes a split and an optional root folder."""
