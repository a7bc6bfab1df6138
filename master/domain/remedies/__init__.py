"""What would turn a refusal into a grant: steps are proposed, taken on a copy, and the same request is decided again.

Here belongs advice that is true because it was tried. Deciding itself is for `seats` and `licenses`.
"""
