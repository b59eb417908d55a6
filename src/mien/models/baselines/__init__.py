"""What the five papers compare with, as configurations of the same composite; one file each, named in a recipe."""
