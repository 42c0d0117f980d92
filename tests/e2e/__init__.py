"""Does a member's story work through the public doors?"""
