"""Input: records, their order, crops, and batches on the devices."""
