"""The toolkit of AWS's older images, as far as inference code uses it."""
