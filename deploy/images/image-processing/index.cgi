#!/bin/sh
# Which of the pods answers, and what it was asked: enough to see a service spread its requests.
printf 'Content-Type: text/plain\r\n\r\n'
printf '%s %s\n' "$(hostname)" "$REQUEST_URI"
