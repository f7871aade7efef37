"""The data plane: worker processes that forward what clients of a service send to its backends, and back.

``pool`` is the parent's side. Everything else runs in the workers, which import nothing of the daemon but this
package: they start in a tenth of a second and hold little memory.
"""
