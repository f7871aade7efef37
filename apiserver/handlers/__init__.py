"""HTTP only: what was asked, in which words the answer goes out. What it means is the registry's business."""
