"""Pure measures of agreement: sequences in, named results out; no model, no file, no torch.

Conventions: every result carries the number of items it rests on; a figure that is undefined (no item, one class
only, no variance) is NaN, never 0, and macro means say over how many classes or AUs they run.
"""
