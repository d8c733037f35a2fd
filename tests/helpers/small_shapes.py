from datamodules import Shapes

SETTINGS = Shapes(train=10, val=5, size=64, seed=1)
