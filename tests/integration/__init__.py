"""Do stream, stores and roles survive crash, race and redelivery?"""
