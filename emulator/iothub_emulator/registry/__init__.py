"""Devices, modules, their twins and the configurations of the hub."""
