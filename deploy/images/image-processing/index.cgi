#!/bin/sh
# Print the pod's name and the request's path: enough to see how a service distributes its requests. Each is logged.
echo "$REMOTE_ADDR \"$REQUEST_METHOD $REQUEST_URI\"" >&2
printf 'Content-Type: text/plain\r\n\r\n'
printf '%s %s\n' "$(hostname)" "$REQUEST_URI"
