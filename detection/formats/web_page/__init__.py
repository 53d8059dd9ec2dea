"""Pages for a browser, each one HTML file that contains everything it needs: style, scripts, data and pictures."""
