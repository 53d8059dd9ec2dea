"""From boxes to the square input of a network; `crop` says which of the files beside it runs when."""
