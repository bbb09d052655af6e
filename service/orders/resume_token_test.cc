#include "service/orders/resume_token.h"

#include <limits>
#include <string>

#include "gtest/gtest.h"

namespace orders {
namespace {

TEST(ResumeToken, ReadsBackWhatItMade) {
  for (const std::int64_t position : {std::int64_t{0}, std::int64_t{1}, std::int64_t{123456789},
                                      std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(ReadToken(TokenKind::kWatch, MakeToken(TokenKind::kWatch, position)), position);
    EXPECT_EQ(ReadToken(TokenKind::kPage, MakeToken(TokenKind::kPage, position)), position);
  }
}

// Callers hold tokens across releases of this service.
TEST(ResumeToken, LooksAsItAlwaysDid) {
  EXPECT_EQ(MakeToken(TokenKind::kWatch, 42), "w42-7a6c");
  EXPECT_EQ(MakeToken(TokenKind::kPage, 42), "p42-179d");
}

TEST(ResumeToken, OfTheOtherKindIsNone) {
  EXPECT_FALSE(ReadToken(TokenKind::kPage, MakeToken(TokenKind::kWatch, 7)));
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, MakeToken(TokenKind::kPage, 7)));
}

TEST(ResumeToken, IsNoneWhenAnyOfItsCharactersIsAnother) {
  const std::string token = MakeToken(TokenKind::kWatch, 1234567);
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == '8' ? '9' : '8';
    EXPECT_FALSE(ReadToken(TokenKind::kWatch, changed)) << changed;
    EXPECT_FALSE(ReadToken(TokenKind::kWatch, token.substr(0, i))) << token.substr(0, i);
  }
}

TEST(ResumeToken, OfAnythingElseIsNone) {
  for (const std::string text : {"", "-", "w", "w-", "w1", "1", "start", "w1-", "w-1-0000",
                                 "w 1-0000", "w99999999999999999999-0000", "\xff\xfe-\x01"}) {
    EXPECT_FALSE(ReadToken(TokenKind::kWatch, text)) << text;
  }
  const std::string token = MakeToken(TokenKind::kWatch, 5);
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, " " + token));
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, token + " "));
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, token + std::string(1, '\0')));
}

TEST(ResumeToken, OfANegativePositionIsNone) {
  EXPECT_FALSE(ReadToken(TokenKind::kWatch, MakeToken(TokenKind::kWatch, -1)));
}

}  // namespace
}  // namespace orders
