"""The networks and what export needs of them."""
