"""The devices: memory (blocks and their states), cpu (masks, up and down), node, bus, power.

May import kernel/, lib/ and the files directly in elfcorehdr/. Start with memory.py.
"""
