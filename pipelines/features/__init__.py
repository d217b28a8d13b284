"""The kitchen: features are declared once, compiled to one kernel, carried by replay, stream and request."""
