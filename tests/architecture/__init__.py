"""Do the rules of the house hold, and does each fail when broken?"""
