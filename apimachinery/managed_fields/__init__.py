"""Who owns which field of an object: ``metadata.managedFields``, and server-side apply, which needs it.

``track_update`` belongs to every create, update and patch, ``apply`` to apply patches. Both work on builtins
and know merging lists and atomic maps from the schema. Entries of another API version are compared by path without
conversion: no kind here has versions whose common fields differ in name.
"""

from apimachinery.managed_fields.server_side_apply import apply
from apimachinery.managed_fields.tracker import track_update

__all__ = ["apply", "track_update"]
