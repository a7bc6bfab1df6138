"""What a batch keeps counted for PBXs beside the seats that they hold: for standbys, loans, blocks, what was proven.

Here belongs what begins, changes and ends claims of a batch. How claims count is `domain/leases/claims.py`.
"""
