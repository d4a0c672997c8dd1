"""What the stories stand on: the programs under test and the software devices and service around them."""
