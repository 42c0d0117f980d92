"""Do we say what contracts/ says?"""
