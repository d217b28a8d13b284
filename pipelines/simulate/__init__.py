"""A simulated online shop: users with latent tastes, a catalog, visits, and everything that goes wrong."""
