"""Bulk import of device files into Azure IoT Hub: all that is deployed beside the triggers."""
