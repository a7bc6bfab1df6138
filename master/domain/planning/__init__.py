"""What would happen if: changes that are only thought of, decided on a copy by the code that decides every day.

Here belongs the answer to a plan. Nothing here is ever carried out.
"""
