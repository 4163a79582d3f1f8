"""A real single-node Kubernetes on this machine, for the tests.

``python -m realcluster up`` builds what Debian only has as source, starts every part as a
plain process and prints where the kubeconfig is; ``down`` leaves nothing behind. It is a
tool of this repository, not a part of the installed package, and no module of
``kubespawner`` knows it: what tests the package must not lean on it.

=================  ==========================================================================
``settings``       paths, addresses, names: pure
``commands``       the command line and configuration file of each part: pure
``pki``            certificates, tokens, kubeconfigs
``host``           what the machine has: checks, packages, interfaces, sysctls, leftovers
``binaries``       Kubernetes built from Debian's source package, cached
``images``         image archives, cached and imported
``processes``      start, find and stop the parts
``cluster``        the order of it all: up, down, status
``existing``       kind, k3s and minikube, where the machine has them
``api``            a small API client, used by the three below
``addons``         what a fresh cluster needs inside: DNS service, storage class
``dns``            the resolver for services and pods (a process)
``provisioner``    directories for claims (a process)
=================  ==========================================================================
"""
