"""ONNX graphs: conversion, rewriting, reduced precision, profiling."""
