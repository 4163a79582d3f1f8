"""What is written on the objects of a route."""

COMPONENT = "component"
PROXY_ROUTE = "hub.jupyter.org/proxy-route"
ROUTESPEC = "hub.jupyter.org/proxy-routespec"
TARGET = "hub.jupyter.org/proxy-target"
DATA = "hub.jupyter.org/proxy-data"
# What was set when the object was last written, as JSON.
APPLIED = "hub.jupyter.org/proxy-applied"
