"""The REST front of etcd: the one daemon that all others talk to, and the only one that talks to etcd.

handlers/        HTTP only: verbs, watch streams, discovery, openapi, node proxying
registry/        what is special to each resource, and the one path that every write takes
storage/         etcd, and the watch cache in front of it
authentication/  authorization/  admission/     who sends a request, whether it is allowed, and what is changed on the way in
"""
