"""The forms in which data comes, as official data sets and labeling tools write it."""
