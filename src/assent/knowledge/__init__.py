"""What a workspace holds, so that it can be searched. It knows the law alone; files, stores and models are handed in."""
