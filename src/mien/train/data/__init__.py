"""What a recipe trains on: faces, clips, renders, their changes, and the items made of them."""
