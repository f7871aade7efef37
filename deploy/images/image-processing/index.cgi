#!/bin/sh
# Print the pod's name and the request's path: enough to see how a service distributes its requests.
printf 'Content-Type: text/plain\r\n\r\n'
printf '%s %s\n' "$(hostname)" "$REQUEST_URI"
