"""How Peapod is brought up: the lab on one host, and the images that a cluster needs."""
