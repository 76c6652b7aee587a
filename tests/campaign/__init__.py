"""Campaigns: thousands of faults, each made by a number, and what softlab makes of them.

``python -m tests.campaign`` lists them. Every fault follows from the campaign's seed
and its own number, so that each can be made again alone. A small share of each
campaign is among the tests.
"""
