"""What every study is made of: experiments, claims, figures, numbers, and the comparison they share.

Nothing is imported here, so that figures and claims stay without torch; ``comparison`` alone needs it.
"""
