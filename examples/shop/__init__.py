"""A small shop: web calls catalog, catalog calls inventory; none of them knows of the mesh."""
