"""Work that is divided between threads: an ordered map, and detection in many images."""
