"""The watch: behaviour vectors and what is unusual in them."""
