"""PBXs as bare calls, alone and in numbers."""
