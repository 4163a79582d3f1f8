"""Side-by-side measurements of this package and of the peer, ``jupyterhub-kubespawner`` 7.1.0."""
